/**
 * The entry is answered from memory once it is loaded. The runner asks for it at each entry into an object, and Vite's module runner asks node each time whether
 * the file is still the same: where clocks are stepped, half of the processor's time. A file's runtime ends with the file, so nothing here can grow old.
 */
type Runner = { import: (path: string) => Promise<unknown> };
declare const __vitest_mocker__: { moduleRunner: Runner };

/** @param path as the runner names the module. */
export function keepAtHand(path: string): void {
  const runner = __vitest_mocker__.moduleRunner;
  const load = runner.import.bind(runner);
  let loaded: unknown;
  // The module itself is kept, not the promise of it: that belongs to the object which asked first.
  runner.import = async (asked) => {
    if (asked !== path) return load(asked);
    loaded ??= await load(asked);
    return loaded;
  };
}
