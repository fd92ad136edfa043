// Some registries do not serve every platform's variant of an optional package; `npm i` then leaves it out of the lock
// and `npm ci` refuses the lock. Run after every `npm i`: adds what is missing as an optional entry for that platform.
import { readFileSync, writeFileSync } from 'node:fs';

const OS = ['darwin', 'win32', 'android', 'freebsd', 'openharmony', 'aix', 'netbsd', 'openbsd', 'sunos'];
const CPU = ['arm64', 'x64', 'ia32', 'riscv64', 'ppc64', 's390x', 'loong64', 'arm', 'wasm32'];
const file = 'package-lock.json';
const lock = JSON.parse(readFileSync(file, 'utf8'));

function resolvable(from, name) {
  for (let dir = from; ; dir = dir.includes('/node_modules/') ? dir.slice(0, dir.lastIndexOf('/node_modules/')) : '') {
    if (lock.packages[`${dir ? `${dir}/` : ''}node_modules/${name}`]) {
      return true;
    }
    if (!dir) {
      return false;
    }
  }
}

let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, spec] of Object.entries(entry.optionalDependencies ?? {})) {
    if (resolvable(path, name)) {
      continue;
    }
    const os = OS.find((word) => name.includes(word)) ?? (name.includes('wasm') ? 'none' : 'linux');
    lock.packages[`node_modules/${name}`] = {
      version: spec.replace(/^[\^~]/, ''),
      cpu: [CPU.find((word) => name.includes(word)) ?? 'none'],
      ...(entry.dev ? { dev: true } : {}),
      ...(name.includes('musl') ? { libc: ['musl'] } : {}),
      optional: true,
      os: [os],
    };
    added += 1;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added} optional entries added\n`);
