import { complaints } from './health-answer.js';

it('names what is not ok', () => {
  const body = JSON.stringify({ ok: false, checks: { database: 'ok', releases: 'none is ready', firewall: 'gone' } });
  expect(complaints(body)).toEqual(['releases: none is ready', 'firewall: gone']);
});

it.each(['{"status":"unavailable"}', 'no such path\n', ''])('passes on an answer without checks: %j', (body) => {
  expect(complaints(body)).toEqual([body.trim()]);
});
