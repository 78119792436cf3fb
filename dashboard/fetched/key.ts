/** The operator's key: kept for this tab only, and gone with it. */

const NAME = "sluice-operator-key";

export function storedKey(): string | null {
  // A browser may refuse to store anything: the key is then asked for after each load.
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null;
  }
}

export function keepKey(key: string): void {
  try {
    sessionStorage.setItem(NAME, key);
  } catch {
    // As above.
  }
}

export function forgetKey(): void {
  try {
    sessionStorage.removeItem(NAME);
  } catch {
    // As above.
  }
}
