import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiBearerAuth, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import { ERROR_CODES, uuidSchema } from '#libs/contracts';

export const errorBodySchema = z.object({
  code: z.enum(ERROR_CODES as [string, ...string[]]),
  message: z.string().describe('What is wrong and what you can do.'),
  errorId: z.string().describe('Quote it when you ask for help; it finds the log line.'),
  details: z.record(z.string(), z.unknown()).describe('Per code; `fields` for VALIDATION_FAILED.'),
});

/** The status a route answers on success and, for the document, the shape of the answer. */
export function Answers(status: number, schema: z.ZodType | 'file' | null, description: string): MethodDecorator {
  const shape =
    schema === 'file' ? { schema: { type: 'string', format: 'binary' } } : schema ? { standardSchema: schema } : {};
  return applyDecorators(
    HttpCode(status),
    ApiResponse({ status, description, ...shape }),
    ApiResponse({ status: 'default', description: 'Anything that was not done.', standardSchema: errorBodySchema }),
  );
}

/** For the document: the route wants `Authorization: Bearer <access token>`. */
export const WithToken = (): MethodDecorator & ClassDecorator => ApiBearerAuth('access-token');

export const pageQuery = {
  cursor: uuidSchema.optional().describe('`next` of the page before.'),
  limit: z.coerce.number().int().min(1).max(50).optional(),
};
