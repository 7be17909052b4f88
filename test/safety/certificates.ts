import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

// X.509 certificates (RFC 5280) in DER, as far as a TLS test needs them: Node can read and sign them, not make them, and
// a machine need not have openssl.

/** A certificate and its key, in PEM. */
export interface Certified {
  readonly certificate: string;
  readonly key: string;
}

export interface Authority extends Certified {
  /** Issues a certificate for a server with this DNS name. */
  readonly issue: (dnsName: string) => Certified;
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const octets = (...parts: readonly Buffer[]): Buffer => der(0x04, ...parts);
const bits = (bytes: Buffer): Buffer => der(0x03, Buffer.from([0]), bytes);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const name = (commonName: string): Buffer =>
  sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(commonName)))));
const time = (text: string): Buffer => der(0x17, Buffer.from(text));

const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'));
const IS_AUTHORITY = sequence(
  oid('551d13'),
  der(0x01, Buffer.from([0xff])),
  octets(sequence(der(0x01, Buffer.from([0xff])))),
);
const alternativeName = (dnsName: string): Buffer =>
  sequence(oid('551d11'), octets(sequence(der(0x82, Buffer.from(dnsName)))));

interface Contents {
  readonly issuer: string;
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly extension: Buffer;
}

function certify({ issuer, subject, publicKey, signer, extension }: Contents): string {
  const contents = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ECDSA_WITH_SHA256,
    name(issuer),
    sequence(time('200101000000Z'), time('491231235959Z')),
    name(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(extension)),
  );
  const certificate = sequence(contents, ECDSA_WITH_SHA256, bits(sign('sha256', contents, signer)));
  return `-----BEGIN CERTIFICATE-----\n${certificate.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;
}

function keys(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject; readonly pem: string } {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...pair, pem: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** A certificate authority of its own. */
export function createAuthority(commonName: string): Authority {
  const own = keys();
  return {
    key: own.pem,
    certificate: certify({
      issuer: commonName,
      subject: commonName,
      publicKey: own.publicKey,
      signer: own.privateKey,
      extension: IS_AUTHORITY,
    }),
    issue: (dnsName) => {
      const { publicKey, pem } = keys();
      return {
        key: pem,
        certificate: certify({
          issuer: commonName,
          subject: dnsName,
          publicKey,
          signer: own.privateKey,
          extension: alternativeName(dnsName),
        }),
      };
    },
  };
}
