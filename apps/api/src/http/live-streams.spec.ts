import { LiveStreams } from './live-streams.js';

it('bounds the streams of one account, frees them when they end, and ends all when the process stops', () => {
  const streams = new LiveStreams();
  const open = Array.from({ length: 20 }, () => streams.enter('ana'));
  expect(() => streams.enter('ana')).toThrow('live streams');
  const other = streams.enter('ben');
  expect(streams.size).toBe(21);
  streams.leave(open[0] ?? other);
  expect(open[0]?.signal.aborted).toBe(true);
  streams.enter('ana');
  streams.endAll();
  expect(other.signal.aborted).toBe(true);
});
