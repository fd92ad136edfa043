import { Body, Controller, Get, HttpStatus, Post, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import type { z } from 'zod';
import { AccountService, currentDisclaimer, RegistrationService, SessionService, SignInService } from '#libs/accounts';
import {
  accessSchema,
  DEVICE_COOKIE,
  disclaimerSchema,
  DomainError,
  loginSchema,
  meSchema,
  REFRESH_COOKIE,
  registerSchema,
  resendSchema,
  verifyEmailSchema,
  type Access,
  type Disclaimer,
  type Login,
  type Me,
  type Register,
} from '#libs/contracts';
import { ByCookie, CurrentActor, Public, Subscriber } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import { clientOf } from '../http/client-address.js';
import { clearCookie, readCookie, setCookie } from '../http/cookies.js';
import { idempotencyKey, REPLAYED_HEADER, WithIdempotencyKey } from '../http/idempotency.interceptor.js';
import { Limited } from '../http/rate-limits.js';
import type { ApiRequest, Person } from '../http/request.js';

@ApiTags('Accounts')
@Controller('api/v1/auth')
export class AuthController {
  constructor(
    private readonly accounts: AccountService,
    private readonly registration: RegistrationService,
    private readonly signIn: SignInService,
    private readonly sessions: SessionService,
  ) {}

  @Get('disclaimer')
  @Public()
  @ApiOperation({ summary: 'Read the current risk disclaimer' })
  @Answers(HttpStatus.OK, disclaimerSchema, 'The version to accept when registering.')
  disclaimer(): Disclaimer {
    return currentDisclaimer();
  }

  @Post('register')
  @Public()
  @Limited('sign_up')
  @WithIdempotencyKey()
  @ApiOperation({
    summary: 'Make an account',
    description:
      'A link to confirm the address is mailed. The answer does not tell whether the address has an account.',
  })
  @Answers(HttpStatus.CREATED, meSchema, 'The account, waiting for its address to be confirmed.')
  async register(
    @Body({ schema: registerSchema }) body: Register,
    @Req() request: ApiRequest,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Me> {
    const { me, replayed } = await this.registration.register(body, clientOf(request), idempotencyKey(request));
    if (replayed) {
      response.setHeader(REPLAYED_HEADER, 'true');
    }
    return me;
  }

  @Post('verify')
  @Public()
  @Limited('sign_in')
  @ApiOperation({ summary: 'Confirm an e-mail address by the mailed token' })
  @Answers(HttpStatus.OK, meSchema, 'The account, active, its trial begun.')
  verify(
    @Body({ schema: verifyEmailSchema }) body: z.infer<typeof verifyEmailSchema>,
    @Req() request: ApiRequest,
  ): Promise<Me> {
    return this.registration.verifyEmail(body.token, clientOf(request));
  }

  @Post('resend')
  @Public()
  @Limited('mail')
  @ApiOperation({
    summary: 'Mail the link again',
    description: 'The answer does not tell whether there is an account.',
  })
  @Answers(HttpStatus.NO_CONTENT, null, 'Mailed, if the address waits for it.')
  resend(
    @Body({ schema: resendSchema }) body: z.infer<typeof resendSchema>,
    @Req() request: ApiRequest,
  ): Promise<void> {
    return this.registration.resend(body.email, clientOf(request));
  }

  @Post('login')
  @Public()
  @Limited('sign_in')
  @ApiOperation({ summary: 'Sign in', description: 'Sets the refresh cookie; the access token is in the body.' })
  @Answers(HttpStatus.OK, accessSchema, 'A short-lived access token and who you are.')
  async login(
    @Body({ schema: loginSchema }) body: Login,
    @Req() request: ApiRequest,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Access> {
    const device = readCookie(request, DEVICE_COOKIE) ?? null;
    const session = await this.signIn.login(body, clientOf(request), device);
    setCookie(response, REFRESH_COOKIE, session.refreshToken, session.refreshMaxAgeSeconds);
    setCookie(response, DEVICE_COOKIE, session.deviceToken, session.deviceMaxAgeSeconds);
    return session.access;
  }

  @Post('refresh')
  @ByCookie()
  @Limited('session')
  @ApiOperation({ summary: 'Renew the access token by the refresh cookie', description: 'The cookie is replaced.' })
  @Answers(HttpStatus.OK, accessSchema, 'A new access token.')
  async refresh(@Req() request: ApiRequest, @Res({ passthrough: true }) response: Response): Promise<Access> {
    const token = readCookie(request, REFRESH_COOKIE);
    if (!token) {
      throw new DomainError('UNAUTHENTICATED');
    }
    const session = await this.sessions.refresh(token, clientOf(request));
    if (session.refreshToken !== null) {
      setCookie(response, REFRESH_COOKIE, session.refreshToken, session.refreshMaxAgeSeconds);
    }
    return session.access;
  }

  @Post('logout')
  @ByCookie()
  @Limited('session')
  @ApiOperation({ summary: 'Sign out', description: 'Ends the session of the refresh cookie, everywhere.' })
  @Answers(HttpStatus.NO_CONTENT, null, 'Signed out.')
  async logout(@Req() request: ApiRequest, @Res({ passthrough: true }) response: Response): Promise<void> {
    const token = readCookie(request, REFRESH_COOKIE);
    if (token) {
      await this.sessions.logout(token, clientOf(request));
    }
    clearCookie(response, REFRESH_COOKIE);
  }

  @Get('me')
  @Subscriber()
  @WithToken()
  @ApiOperation({ summary: 'Read who you are' })
  @Answers(HttpStatus.OK, meSchema, 'Your account.')
  me(@CurrentActor() actor: Person): Promise<Me> {
    return this.accounts.me(actor);
  }
}
