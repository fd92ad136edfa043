import type { NestExpressApplication } from '@nestjs/platform-express';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';

const ABOUT = `Every failed answer is \`{ code, message, errorId, details }\`. Sign in with \`POST /api/v1/auth/login\` and send
the access token as \`Authorization: Bearer …\`; it lasts minutes and is renewed by the refresh cookie. Starting, stopping,
creating and destroying a stack answer 202 with an operation; follow it live at its \`events\` address
(server-sent events) or by reading it. 429 says in \`Retry-After\` when to come back.`;

export function openApiDocument(app: NestExpressApplication, portalOrigin: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Aviary portal')
    .setDescription(ABOUT)
    .setVersion('1')
    .addServer(portalOrigin)
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, 'access-token')
    .build();
  return SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}_${method}`,
  });
}

/** The page and its assets come from this process; nothing is fetched from elsewhere. */
export function serveOpenApi(app: NestExpressApplication, portalOrigin: string): void {
  SwaggerModule.setup('docs', app, () => openApiDocument(app, portalOrigin), {
    jsonDocumentUrl: 'docs-json',
    raw: ['json'],
    customSiteTitle: 'Aviary API',
    swaggerOptions: { persistAuthorization: false, displayRequestDuration: true },
  });
}
