import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { FittedDump } from './fitted-dump.js';

const KNOWN = new Set(['statement_timeout', 'client_encoding']);
const fitted = (dump: string, pieces = 7): Promise<string> => {
  const bytes = Buffer.from(dump);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieces) {
    chunks.push(bytes.subarray(at, at + pieces));
  }
  return text(Readable.from(chunks).pipe(new FittedDump(KNOWN)));
};

const BEGIN = '--\n-- PostgreSQL database dump\n--\n\n';
const SETTINGS = `SET statement_timeout = 0;\nSET transaction_timeout = 0;\nSET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n\n`;
const KEPT = `SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n\n`;

it.each([1, 7, 4_096])('leaves out what the other server does not know, in pieces of %i bytes', async (pieces) => {
  const body = `CREATE TABLE "public"."t" ("x" text);\nCOPY "public"."t" FROM stdin;\n${'é\n'.repeat(2_000)}\\.\n\n`;
  const dump = `${BEGIN}\\restrict aBc\n\n${SETTINGS}${body}--\n-- done\n--\n\n\\unrestrict aBc\n\n`;
  expect(await fitted(dump, pieces)).toBe(`${BEGIN}\n${KEPT}${body}--\n-- done\n--\n\n`);
});

it('nothing of the data is touched, whatever it looks like', async () => {
  const body = `COPY "public"."t" FROM stdin;\nSET transaction_timeout = 0;\n\\restrict me\n\\unrestrict aBc\nlast\n\\.\n`;
  const dump = `${BEGIN}\\restrict aBc\n${SETTINGS}${body}\\unrestrict aBc\n`;
  expect(await fitted(dump)).toBe(`${BEGIN}${KEPT}${body}`);
});

it('one that has neither, and one that is empty, stay as they are', async () => {
  expect(await fitted(`${BEGIN}${KEPT}`)).toBe(`${BEGIN}${KEPT}`);
  expect(await fitted(`${BEGIN}\\restrict k\n\n${KEPT}\\unrestrict k\n\n`)).toBe(`${BEGIN}\n${KEPT}`);
  expect(await fitted(`${KEPT}SELECT 1;\nno end`)).toBe(`${KEPT}SELECT 1;\nno end`);
});
