/** Thrown by a handler when trying again cannot help: the job goes to the dead letters at once. */
export class PermanentError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PermanentError';
  }
}
