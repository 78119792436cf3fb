/**
 * Schemas of what Sluice answers. The types of schemas/ say what it is; here it is said again for those who read no TypeScript, and the compiler sees to it that both say the same.
 * Not the types themselves, inferred from schemas: these take 7 ms to be made, and every isolate of every object would pay that as it begins. So they are made when the description is asked for.
 */
import type { z } from "zod";

/** Intersections as one object, to be compared. */
type Plain<T> = T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Identical<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Differs<S extends z.ZodType, T> = Identical<Plain<z.infer<S>>, Plain<T>> extends true ? [] : [differs: "is not what the type says"];

export type Made<S extends z.ZodType = z.ZodType> = () => S;

/** Made once, whoever refers to it. */
export function once<S extends z.ZodType>(make: Made<S>): Made<S> {
  let made: S | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** The schema of a type. One that says anything else, of an optional field too, does not compile. */
export function exactly<T>() {
  return <S extends z.ZodType>(make: Made<S>, ..._: Differs<S, T>): Made<S> => once(make);
}
