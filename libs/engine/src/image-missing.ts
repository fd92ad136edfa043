/** What IMAGE_MISSING says: `reason` is the engine's own sentence, which names the image. */
export function imageMissing(reason: string): string {
  return `The engine does not have the image: ${reason}. Operators make it again with scripts/up, or bring it back with docker load; then start the stack again.`;
}
