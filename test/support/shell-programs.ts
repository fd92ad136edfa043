import type { ContractPrograms } from '../../libs/engine/src/contract-suite.js';

const sh = (script: string, ...args: string[]): string[] => ['sh', '-c', script, 'sh', ...args];

/** The programs of the engine's contract suite as lines of POSIX shell. */
export const shellPrograms: ContractPrograms = {
  print: (code, ...lines) => sh('code=$1; shift; printf "%s\\n" "$@"; exit "$code"', String(code), ...lines),
  idle: () => ['sleep', '3600'],
  stubborn: () => sh('trap "" TERM; while :; do sleep 1; done'),
  show: (...paths) =>
    sh(
      'rc=0; for f in "$@"; do if [ -r "$f" ]; then stat -c "%a %u:%g" "$f"; cat "$f"; [ -z "$(tail -c1 "$f")" ] || echo; else echo "cannot read $f"; rc=1; fi; done; exit $rc',
      ...paths,
    ),
  cat: (code) => sh('cat; exit "$1"', String(code)),
};
