import { Controller, Headers, HttpStatus, Post, Req } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import { reportBatchResponseSchema } from '#libs/contracts';
import { ReportService } from '#libs/tenants';
import { SignedByStack } from '../http/access.js';
import { Answers } from '../http/answers.js';
import { Limited } from '../http/rate-limits.js';
import type { ApiRequest } from '../http/request.js';

@ApiTags('Runtimes')
@Controller('api/v1/runtime/reports')
export class ReportsController {
  constructor(private readonly reports: ReportService) {}

  @Post()
  @SignedByStack()
  @Limited('report')
  @ApiOperation({
    summary: 'Take a batch of reports',
    description: '`Authorization: Stack <JWS>` by the stack’s own key, over the SHA-256 of the body.',
  })
  @ApiBody({ description: '`{ reports: [...] }`, at most 100.', schema: { type: 'object' } })
  @Answers(HttpStatus.OK, reportBatchResponseSchema, 'Which of them the portal holds now.')
  accept(
    @Headers('authorization') authorization: string | undefined,
    @Req() request: ApiRequest,
  ): Promise<{ stored: string[] }> {
    // The signature covers the bytes, so the service gets those and not what was parsed of them.
    return this.reports.accept(authorization ?? '', request.rawBody ?? Buffer.alloc(0));
  }
}
