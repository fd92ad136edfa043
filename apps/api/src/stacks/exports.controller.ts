import { once } from 'node:events';
import { Body, Controller, Delete, HttpStatus, Param, Post, Req, Res, UseFilters } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { SignInService } from '#libs/accounts';
import { pour, withDeadline } from '#libs/async';
import {
  askExportSchema,
  DEVICE_COOKIE,
  DomainError,
  exportAskedSchema,
  exportViewSchema,
  getExportSchema,
  slugSchema,
  uuidSchema,
  type AskExport,
  type ExportAsked,
  type ExportView,
  type GetExport,
} from '#libs/contracts';
import { EXPORT_RESTARTED, ExportService, type Archive } from '#libs/tenants';
import { CurrentActor, Public, Subscriber } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import { clientOf } from '../http/client-address.js';
import { readCookie } from '../http/cookies.js';
import { FormErrorFilter } from '../http/form-error.filter.js';
import { LiveStreams } from '../http/live-streams.js';
import { Limited } from '../http/rate-limits.js';
import type { ApiRequest, Person } from '../http/request.js';
import { fieldProblems } from '../http/validation.pipe.js';

/** A ticket and a passphrase, each character of it as `%xx` three times at worst. */
const LARGEST_FORM = 4_096;

@ApiTags('Stacks')
@Controller('api/v1')
export class ExportsController {
  constructor(
    private readonly exports: ExportService,
    private readonly signIn: SignInService,
    private readonly streams: LiveStreams,
  ) {}

  @Post('stacks/:slug/exports')
  @Subscriber()
  @Limited('sign_in')
  @WithToken()
  @ApiOperation({
    summary: 'Ask for the download of a backup',
    description:
      'Its owner’s alone, by the password of the account. One at a time of a stack; none of its backups is removed meanwhile.',
  })
  @Answers(HttpStatus.CREATED, exportAskedSchema, 'The ticket that gets it, once and within two minutes.')
  async ask(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: askExportSchema }) { backup, password }: AskExport,
    @Req() request: ApiRequest,
  ): Promise<ExportAsked> {
    await this.exports.requireOwn(actor, slug);
    await this.signIn.confirm(actor, password, clientOf(request), readCookie(request, DEVICE_COOKIE) ?? null);
    return this.exports.ask(actor, slug, backup);
  }

  @Delete('stacks/:slug/exports/:id')
  @Subscriber()
  @WithToken()
  @ApiOperation({
    summary: 'Stop the download of a backup',
    description: 'Its owner and operators may. It is cut off within seconds; one that is over stays as it is.',
  })
  @Answers(
    HttpStatus.OK,
    exportViewSchema,
    'The download, `failed` with OPERATION_CANCELLED unless it was over before.',
  )
  cancel(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Param('id', { schema: uuidSchema }) id: string,
  ): Promise<ExportView> {
    return this.exports.cancel(actor, slug, id);
  }

  /** A form, so that a browser takes what comes straight to its disk. Nothing of it may stand in an address. */
  @Post('exports')
  @Public()
  @Limited('sign_in')
  @UseFilters(FormErrorFilter)
  @ApiOperation({
    summary: 'Get a backup as an encrypted archive',
    description:
      'The ticket is the right to it. The archive is a tar, encrypted by age under the passphrase you send, which is kept nowhere: open it with `age --decrypt`. An answer that is shorter than its Content-Length is not all of it, and does not open to its end. To a form of a page, what went wrong is answered 204; `export` of the list of backups says it.',
  })
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiBody({
    schema: {
      type: 'object',
      properties: { ticket: { type: 'string' }, passphrase: { type: 'string' } },
      required: ['ticket', 'passphrase'],
    },
  })
  @ApiProduces('application/octet-stream')
  @Answers(HttpStatus.OK, 'file', 'The archive.')
  async get(@Req() request: ApiRequest, @Res() response: Response): Promise<void> {
    await this.send(await formOf(request), response);
  }

  private async send(form: GetExport, response: Response): Promise<void> {
    const left = new AbortController();
    let source: Archive['body'] | undefined;
    response.once('close', () => {
      // It also closes once all was sent, and where the archive broke off.
      if (!response.writableFinished && !source?.errored) {
        left.abort(new Error('the reader left'));
      }
    });
    await this.exports.send(form, left.signal, async (archive: Archive) => {
      const { file, bytes, accountId, body, signal, stalledMs } = archive;
      source = body;
      const control = this.streams.enter(accountId);
      const stopping = (): void => left.abort(new DomainError('UNAVAILABLE', { message: EXPORT_RESTARTED }));
      control.signal.addEventListener('abort', stopping);
      try {
        response.status(HttpStatus.OK).set({
          'Content-Type': 'application/octet-stream',
          'Content-Length': String(bytes),
          'Content-Disposition': `attachment; filename="${file}"`,
          'Cache-Control': 'no-store, no-transform',
        });
        await pour(body, response, { stalledMs, signal });
        response.end();
        await withDeadline('taking the last of it', { deadlineMs: stalledMs, signal }, (bound) =>
          once(response, 'finish', { signal: bound }),
        );
      } finally {
        control.signal.removeEventListener('abort', stopping);
        this.streams.leave(control);
      }
    });
  }
}

async function formOf(request: ApiRequest): Promise<GetExport> {
  if (!request.is('application/x-www-form-urlencoded')) {
    throw new DomainError('VALIDATION_FAILED', { message: 'Send ticket and passphrase as a form.' });
  }
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > LARGEST_FORM) {
      throw new DomainError('BODY_TOO_LARGE');
    }
  }
  // A value that a program takes from a file ends as the file does.
  const sent = Array.from(new URLSearchParams(text), ([name, value]) => [name, value.replace(/\r?\n$/, '')]);
  const form = getExportSchema.safeParse(Object.fromEntries(sent));
  if (!form.success) {
    throw new DomainError('VALIDATION_FAILED', { details: { fields: fieldProblems(form.error.issues) } });
  }
  return form.data;
}
