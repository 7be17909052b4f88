/** A directory for Hadoop's file systems, such as `s3a://…` or `hdfs://…`, not for ours. */
export function isUri(directory: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\//i.test(directory);
}
