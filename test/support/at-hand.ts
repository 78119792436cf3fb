/**
 * Serves the entry module from memory once it is loaded. The runner imports it at each entry into an object, and each time Vite's module runner asks node
 * whether the file has changed: half of the CPU time in tests that step clocks. A file's runtime ends with the file, so nothing here can go stale.
 */
type Runner = { import: (path: string) => Promise<unknown> };
declare const __vitest_mocker__: { moduleRunner: Runner };

/** @param path the module's path, as the runner names it. */
export function keepAtHand(path: string): void {
  const runner = __vitest_mocker__.moduleRunner;
  const load = runner.import.bind(runner);
  let loaded: unknown;
  // Keeps the module itself, not its promise: the promise belongs to the object that asked first.
  runner.import = async (asked) => {
    if (asked !== path) return load(asked);
    loaded ??= await load(asked);
    return loaded;
  };
}
