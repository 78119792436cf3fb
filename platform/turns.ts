/** Lets others have a turn: long work is done in parts, with one of these between each two. */
export function aTurn(): Promise<void> {
  return new Promise((done) => setTimeout(done, 0));
}
