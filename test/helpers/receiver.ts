import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { NoticePayload } from '../../src/platform/notify/notifier.js';

export interface Post {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: NoticePayload;
}

/** A receiver of notices on loopback. */
export interface Receiver {
  readonly port: number;
  readonly url: string;
  readonly posts: readonly Post[];
  readonly close: () => Promise<void>;
}

/** @param answer answers a post, by its number from 1 on; does nothing to let it hang. */
export async function startReceiver(
  t: TestContext,
  answer: (response: ServerResponse, count: number) => void = (response) => void response.end(),
): Promise<Receiver> {
  const posts: Post[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request
      .setEncoding('utf8')
      .on('data', (chunk: string) => (text += chunk))
      .on('end', () => {
        posts.push({ path: request.url ?? '', headers: request.headers, body: JSON.parse(text) as NoticePayload });
        answer(response, posts.length);
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  t.after(close);
  return { port, url: `http://127.0.0.1:${port}/hook`, posts, close };
}
