/** A turn for whoever else is there: what takes long is done in parts, with one between two. */
export function aTurn(): Promise<void> {
  return new Promise((done) => setTimeout(done, 0));
}
