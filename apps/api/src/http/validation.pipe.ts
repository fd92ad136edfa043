import { StandardSchemaValidationPipe } from '@nestjs/common';
import { DomainError } from '#libs/contracts';

interface Issue {
  message: string;
  path?: readonly (PropertyKey | { key: PropertyKey })[] | undefined;
  code?: string;
  keys?: readonly string[];
}

const segment = (part: PropertyKey | { key: PropertyKey }): string =>
  String(typeof part === 'object' ? part.key : part);

/** The reasons per field, in dotted paths; '' stands for the whole. Unknown fields are named one by one. */
export function fieldProblems(issues: readonly Issue[]): Record<string, string[]> {
  const fields: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  const add = (path: string, message: string): void => {
    (fields[path] ??= []).push(message);
  };
  for (const issue of issues) {
    const path = (issue.path ?? []).map(segment).join('.');
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys ?? []) {
        add(path === '' ? key : `${path}.${key}`, 'This field is not known here.');
      }
    } else {
      add(path, issue.message);
    }
  }
  return { ...fields };
}

/** Parses by the zod schema that the parameter names; what does not fit is VALIDATION_FAILED with `details.fields`. */
export const validationPipe = new StandardSchemaValidationPipe({
  exceptionFactory: (issues) => new DomainError('VALIDATION_FAILED', { details: { fields: fieldProblems(issues) } }),
});
