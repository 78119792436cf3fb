/** The types that schemas/ needs from zod, without zod: copied into the package in its place. A kind of schema missing here fails the package's test. */
type Schema<Output> = { _output: Output };
type Shape = { [field: string]: Schema<unknown> };
type Optional<S extends Shape> = { [K in keyof S]: undefined extends S[K]["_output"] ? K : never }[keyof S];
type Fields<S extends Shape> = { [K in Exclude<keyof S, Optional<S>>]: S[K]["_output"] } & {
  [K in Optional<S>]?: S[K]["_output"];
};
type Flat<T> = { [K in keyof T]: T[K] };

export declare namespace z {
  type infer<S extends Schema<unknown>> = S["_output"];
  type ZodString = Schema<string>;
  type ZodNumber = Schema<number>;
  type ZodBoolean = Schema<boolean>;
  type ZodLiteral<T> = Schema<T>;
  type ZodCustom<Output, _Input> = Schema<Output>;
  type ZodEnum<T> = Schema<T[keyof T]>;
  type ZodArray<S extends Schema<unknown>> = Schema<S["_output"][]>;
  type ZodNullable<S extends Schema<unknown>> = Schema<S["_output"] | null>;
  type ZodOptional<S extends Schema<unknown>> = Schema<S["_output"] | undefined>;
  type ZodDefault<S extends Schema<unknown>> = Schema<Exclude<S["_output"], undefined>>;
  type ZodUnion<S extends readonly Schema<unknown>[]> = Schema<S[number]["_output"]>;
  type ZodRecord<K extends Schema<string>, V extends Schema<unknown>> = Schema<Record<K["_output"], V["_output"]>>;
  type ZodDiscriminatedUnion<S extends Schema<unknown>[], _Field extends string> = Schema<S[number]["_output"]>;
  type ZodObject<S extends Shape, Rest> = Schema<Flat<Fields<S> & Rest>>;
  namespace core {
    type $strict = unknown;
    type $loose = { [more: string]: unknown };
  }
}
