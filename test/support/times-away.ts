import { get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

/** In milliseconds since 1970: from the last question it answered until it answered again; `end` infinite where it did not. */
export interface TimeAway {
  begin: number;
  end: number;
}

const ANSWER_MS = 5_000;
const PACE_MS = 50;

/**
 * Asks a process for `/healthz` by its address, from where the proxy asks it, again and again: between the last question
 * it answered and its next life's first answer nobody gets one.
 */
export function timesAway(host: string, port: number): { end: () => Promise<TimeAway[]> } {
  const times: TimeAway[] = [];
  let asking = true;
  const watching = (async () => {
    let answeredAt = Date.now();
    let away = false;
    while (asking) {
      const askedAt = Date.now();
      if (await answers(host, port)) {
        if (away) {
          times.push({ begin: answeredAt, end: Date.now() });
        }
        answeredAt = askedAt;
        away = false;
      } else {
        away = true;
      }
      await pause(PACE_MS);
    }
    if (away) {
      times.push({ begin: answeredAt, end: Infinity });
    }
  })();
  return {
    end: async () => {
      asking = false;
      await watching;
      return times;
    },
  };
}

/** On a connection of its own, as who comes anew. */
const answers = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = get({ host, port, path: '/healthz', agent: false, timeout: ANSWER_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.once('error', () => resolve(false));
    asked.once('timeout', () => asked.destroy(new Error('no answer')));
  });
