import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import {
  certificateProblems,
  createAuthority,
  issueLeaf,
  localCertificateNames,
  type PemPair,
  RENEW_BEFORE_DAYS,
} from './local-ca.js';

const DAY = 86_400_000;
const now = new Date();
const later = (days: number): Date => new Date(now.getTime() + days * DAY);

/** A real handshake on loopback; resolves with what the client made of the server's certificate. */
async function handshake(server: PemPair, ca: string, servername: string): Promise<string> {
  const listener = createServer({ cert: server.certificate, key: server.key }, (socket) => socket.end());
  listener.on('tlsClientError', () => undefined);
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  try {
    return await new Promise<string>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', ca, servername });
      socket.once('secureConnect', () => {
        resolve(socket.authorized ? `trusted ${socket.getProtocol() ?? ''}` : 'untrusted');
        socket.destroy();
      });
      socket.once('error', (error: NodeJS.ErrnoException) => {
        // A violated name constraint has no code of its own in Node, only OpenSSL's words.
        resolve(error.code === 'UNSPECIFIED' ? error.message : (error.code ?? error.message));
      });
    });
  } finally {
    listener.close();
  }
}

describe('the local authority', () => {
  const domains = ['portal.test', 'stacks.test'];
  const names = localCertificateNames('portal.test', 'stacks.test');
  let root: PemPair;
  let leaf: PemPair;

  beforeAll(async () => {
    root = await createAuthority(domains, now);
    leaf = await issueLeaf(root, names, now);
  });

  it('names each host once', () => {
    expect(names).toEqual(['portal.test', 'stacks.test', '*.stacks.test']);
    expect(localCertificateNames('aviary.localhost', 'aviary.localhost')).toEqual([
      'aviary.localhost',
      '*.aviary.localhost',
    ]);
  });

  it('makes a root for ten years and a leaf for 397 days', () => {
    const authority = new X509Certificate(root.certificate);
    expect(authority.ca).toBe(true);
    expect(authority.verify(authority.publicKey)).toBe(true);
    expect((authority.validToDate.getTime() - authority.validFromDate.getTime()) / DAY).toBe(3650);
    const certificate = new X509Certificate(leaf.certificate);
    expect(certificate.ca).toBe(false);
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect((certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / DAY).toBe(397);
    expect(certificate.subjectAltName).toBe('DNS:portal.test, DNS:stacks.test, DNS:*.stacks.test');
  });

  it('is accepted in a real handshake for its names', async () => {
    for (const name of ['portal.test', 'uabc234.stacks.test', 'api-uabc234.stacks.test']) {
      expect(await handshake(leaf, root.certificate, name)).toBe('trusted TLSv1.3');
    }
  });

  it('is refused for other names, by other authorities and two labels down', async () => {
    expect(await handshake(leaf, root.certificate, 'a.b.stacks.test')).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    expect(await handshake(leaf, root.certificate, 'elsewhere.test')).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    const other = await createAuthority(domains, now);
    expect(await handshake(leaf, other.certificate, 'portal.test')).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });

  it('cannot speak for a site outside its domains', async () => {
    const forged = await issueLeaf(root, ['bank.test'], now);
    expect(await handshake(forged, root.certificate, 'bank.test')).toBe('permitted subtree violation');
    const lookalike = await issueLeaf(root, ['notportal.test'], now);
    expect(await handshake(lookalike, root.certificate, 'notportal.test')).toBe('permitted subtree violation');
  });

  it('says when a pair has to be replaced, and why', async () => {
    const need = { names, now, authority: root.certificate };
    expect(certificateProblems(leaf, need)).toEqual([]);
    const kinds = (pair: PemPair, change: Partial<typeof need>): string[] =>
      certificateProblems(pair, { ...need, ...change }).map((problem) => problem.kind);
    expect(kinds(leaf, { now: later(396 - RENEW_BEFORE_DAYS) })).toEqual([]);
    expect(kinds(leaf, { now: later(397 - RENEW_BEFORE_DAYS) })).toEqual(['expires-soon']);
    expect(kinds(leaf, { now: later(398) })).toEqual(['expired']);
    expect(kinds(leaf, { now: later(-1) })).toEqual(['not-yet-valid']);
    expect(certificateProblems(leaf, { ...need, names: [...names, '*.new.test'] })).toEqual([
      { kind: 'names-missing', names: ['*.new.test'] },
    ]);
    const other = await createAuthority(domains, now);
    expect(kinds(leaf, { authority: other.certificate })).toEqual(['foreign-authority']);
    expect(kinds({ certificate: leaf.certificate, key: other.key }, {})).toEqual(['key-mismatch']);
    expect(kinds({ certificate: 'nothing', key: leaf.key }, {})).toEqual(['unreadable']);
    const withoutWildcard = await issueLeaf(root, ['stacks.test'], now);
    expect(certificateProblems(withoutWildcard, { ...need, names: ['*.stacks.test'] })).toEqual([
      { kind: 'names-missing', names: ['*.stacks.test'] },
    ]);
  });

  it('never outlives its authority', async () => {
    const old = await issueLeaf(root, names, later(3600));
    expect(new X509Certificate(old.certificate).validToDate).toEqual(new X509Certificate(root.certificate).validToDate);
  });
});
