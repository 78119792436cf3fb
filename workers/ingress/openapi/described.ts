/**
 * Schemas of what Sluice answers. schemas/ defines the types; this says the same again for readers without TypeScript, and the compiler checks that both agree.
 * The types are not inferred from schemas: building these takes 7 ms, which every isolate of every object would pay at startup. So they are built on demand.
 */
import type { z } from "zod";

/** Flattens intersections into one object, for comparison. */
type Plain<T> = T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Identical<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Differs<S extends z.ZodType, T> = Identical<Plain<z.infer<S>>, Plain<T>> extends true ? [] : [differs: "is not what the type says"];

export type Made<S extends z.ZodType = z.ZodType> = () => S;

/** Built once, however many refer to it. */
export function once<S extends z.ZodType>(make: Made<S>): Made<S> {
  let made: S | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** The schema of a type. If the two differ, even in an optional field, it does not compile. */
export function exactly<T>() {
  return <S extends z.ZodType>(make: Made<S>, ..._: Differs<S, T>): Made<S> => once(make);
}
