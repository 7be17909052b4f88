/** What ecompipe does with a connection parameter of libpq: follows it, or refuses it by name; nothing is ever ignored. */
export interface LibpqKeyword {
  readonly variable?: string;
  /** Values that say what happens anyway; any other is refused. Absent: the parameter is followed. */
  readonly accepted?: RegExp;
  /** What happens instead, for the refusal and the guide. */
  readonly instead?: string;
}

const NEVER = /^$/;
const refuse = (instead: string, variable?: string, accepted = NEVER): LibpqKeyword => ({
  accepted,
  instead,
  ...(variable === undefined ? {} : { variable }),
});

/** Every parameter of libpq (PostgreSQL manual, 34.1.2) and its variable (34.15). */
export const LIBPQ_KEYWORDS: Readonly<Record<string, LibpqKeyword>> = {
  host: { variable: 'PGHOST' },
  hostaddr: { variable: 'PGHOSTADDR' },
  port: { variable: 'PGPORT' },
  dbname: { variable: 'PGDATABASE' },
  user: { variable: 'PGUSER' },
  password: { variable: 'PGPASSWORD' },
  passfile: { variable: 'PGPASSFILE' },
  service: { variable: 'PGSERVICE' },
  servicefile: { variable: 'PGSERVICEFILE' },
  options: { variable: 'PGOPTIONS' },
  application_name: { variable: 'PGAPPNAME' },
  fallback_application_name: {},
  connect_timeout: { variable: 'PGCONNECT_TIMEOUT' },
  sslmode: { variable: 'PGSSLMODE' },
  sslrootcert: { variable: 'PGSSLROOTCERT' },
  sslcert: { variable: 'PGSSLCERT' },
  sslkey: { variable: 'PGSSLKEY' },
  sslpassword: {},
  sslcrl: { variable: 'PGSSLCRL' },
  ssl_min_protocol_version: { variable: 'PGSSLMINPROTOCOLVERSION' },
  ssl_max_protocol_version: { variable: 'PGSSLMAXPROTOCOLVERSION' },
  require_auth: { variable: 'PGREQUIREAUTH' },
  channel_binding: refuse('channel binding is not supported', 'PGCHANNELBINDING', /^(disable|prefer)$/),
  client_encoding: refuse('files are UTF-8', 'PGCLIENTENCODING', /^(auto|utf-?8|unicode)$/i),
  keepalives: refuse('keepalive is always on', 'PGKEEPALIVES', /^1$/),
  keepalives_idle: refuse('an idle connection is probed after 10 s', undefined, /^(0|10)$/),
  keepalives_interval: refuse("the system's value applies", undefined, /^0$/),
  keepalives_count: refuse("the system's value applies", undefined, /^0$/),
  tcp_user_timeout: refuse('a connection to a silent server is closed after about 15 s', undefined, /^0$/),
  replication: refuse('a replication connection can load nothing', undefined, /^(false|off|no|0)$/),
  gssencmode: refuse('GSSAPI encryption is not supported', 'PGGSSENCMODE', /^(disable|prefer)$/),
  sslnegotiation: refuse('TLS is asked for first', 'PGSSLNEGOTIATION', /^postgres$/),
  sslcompression: refuse('compression of TLS is never used', 'PGSSLCOMPRESSION', /^0$/),
  requiressl: refuse('use sslmode=require', 'PGREQUIRESSL', /^0$/),
  sslkeylogfile: refuse('keys of TLS are never written'),
  sslcertmode: refuse('a certificate is sent where there is one', 'PGSSLCERTMODE', /^allow$/),
  sslcrldir: refuse('name one file in sslcrl', 'PGSSLCRLDIR'),
  sslsni: refuse("the server's name is always sent", 'PGSSLSNI', /^1$/),
  requirepeer: refuse('the owner of a socket is not checked', 'PGREQUIREPEER'),
  min_protocol_version: refuse('protocol 3.0 is used', 'PGMINPROTOCOLVERSION', /^3\.0$/),
  max_protocol_version: refuse('protocol 3.0 is used', 'PGMAXPROTOCOLVERSION', /^(3\.0|3\.2|latest)$/),
  krbsrvname: refuse('Kerberos is not supported', 'PGKRBSRVNAME'),
  gsslib: refuse('GSSAPI is not supported', 'PGGSSLIB'),
  gssdelegation: refuse('GSSAPI is not supported', 'PGGSSDELEGATION', /^0$/),
  scram_client_key: refuse('use a password'),
  scram_server_key: refuse('use a password'),
  target_session_attrs: refuse('name the primary', 'PGTARGETSESSIONATTRS', /^any$/),
  load_balance_hosts: refuse('one server is named', 'PGLOADBALANCEHOSTS', /^disable$/),
  oauth_issuer: refuse('OAuth is not supported'),
  oauth_client_id: refuse('OAuth is not supported'),
  oauth_client_secret: refuse('OAuth is not supported'),
  oauth_scope: refuse('OAuth is not supported'),
};

/** Why a value of a parameter is refused, or undefined where it is followed. Never shows the value: it may be a secret. */
export function refusalOf(keyword: string, value: string): string | undefined {
  const known = Object.hasOwn(LIBPQ_KEYWORDS, keyword) ? LIBPQ_KEYWORDS[keyword] : undefined;
  if (known === undefined) {
    const meant = keyword.toLowerCase().replaceAll(/[_-]/g, '');
    const close = Object.keys(LIBPQ_KEYWORDS).find((name) => name.replaceAll('_', '') === meant);
    return `no such connection parameter${close === undefined ? '' : ` (did you mean ${close}?)`}`;
  }
  if (known.accepted === undefined || known.accepted.test(value)) return undefined;
  return `this value is not supported: ${known.instead ?? ''}`;
}
