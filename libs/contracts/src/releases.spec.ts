import { RELEASE_MOVES, RELEASE_STATES, releaseMoves } from './releases.js';

it('a release goes from draft to stable by way of candidate, is withdrawn from anywhere, and comes back as candidate', () => {
  const moves = RELEASE_STATES.flatMap((from) =>
    releaseMoves(from).map((move) => `${from} ${move} ${RELEASE_MOVES[move].to}`),
  );
  expect(moves).toEqual([
    'draft offer candidate',
    'draft withdraw withdrawn',
    'candidate promote stable',
    'candidate withdraw withdrawn',
    'stable withdraw withdrawn',
    'withdrawn offer candidate',
  ]);
});
