import type { Bundle, Variable } from "./bundle.ts";

/** Names that workerd's command line refers to. */
export const SOCKET = "http";
export const OBJECTS = "objects";

/** @returns workerd's configuration as Cap'n Proto text. Module `n` must be in the file `moduleFile(n)` beside it. */
export function configText(bundle: Bundle, vars: Record<string, Variable>): string {
  const { durableObjects } = bundle;
  const modules = bundle.modules.map(({ name, kind }, n) => `(name = ${quote(name)}, ${kind} = embed ${quote(moduleFile(n))})`);
  const bindings = [
    ...Object.entries(vars).map(
      ([name, { kind, value }]) => `(name = ${quote(name)}, ${kind === "json" ? "json" : "text"} = ${quote(value)})`,
    ),
    ...durableObjects.map(({ binding, className }) => `(name = ${quote(binding)}, durableObjectNamespace = ${quote(className)})`),
  ];
  // State is found by its unique key, so the key must depend only on the class.
  const classes = [...new Set(durableObjects.map(({ className }) => className))];
  const namespaces = classes.map((name) => `(className = ${quote(name)}, uniqueKey = ${quote(`sluice-${name}`)}, enableSql = true)`);
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["public", "private", "local"], tlsOptions = (trustBrowserCas = true))),
    (name = "${OBJECTS}", disk = (writable = true)),
  ],
  sockets = [(name = "${SOCKET}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = ${list(modules)},
  compatibilityDate = ${quote(bundle.compatibilityDate)},
  compatibilityFlags = ${list(bundle.compatibilityFlags.map(quote))},
  bindings = ${list(bindings)},
  durableObjectNamespaces = ${list(namespaces)},
  durableObjectStorage = (localDisk = "${OBJECTS}"),
);
`;
}

export function moduleFile(n: number): string {
  return `module-${n}`;
}

/** A Cap'n Proto string literal: printable ASCII unchanged, every other byte of its UTF-8 in hexadecimal. */
export function quote(text: string): string {
  let literal = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    literal += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `"${literal}"`;
}

function list(items: string[]): string {
  return `[${items.join(", ")}]`;
}
