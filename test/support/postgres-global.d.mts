/** Starts the test server; `globalThis.stopPostgres` ends it. */
export default function start(): Promise<void>;
