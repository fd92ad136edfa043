import { engineContract } from '../../libs/engine/src/contract-suite.js';
import { DockerEngine } from '../../libs/engine/src/index.js';
import { shellPrograms } from '../support/shell-programs.js';

// a first start on a cold engine, and stops that wait for their grace
jest.setTimeout(60_000);

const endpoint = process.env['AVIARY_TEST_DOCKER'];
const image = process.env['AVIARY_TEST_IMAGE'];

if (!endpoint || !image) {
  it('needs an engine of its own', () => {
    throw new Error(
      'Set AVIARY_TEST_DOCKER (unix:///…) and AVIARY_TEST_IMAGE (an image with a shell), as scripts/test does.',
    );
  });
} else {
  engineContract('docker', () =>
    Promise.resolve({
      engine: new DockerEngine({ endpoint }),
      image,
      programs: shellPrograms,
      prefix: process.env['AVIARY_TEST_PREFIX'] ?? '10.222',
      close: () => Promise.resolve(),
    }),
  );
}
