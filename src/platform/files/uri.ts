/** A directory for Hadoop's file systems, such as `s3a://…` or `hdfs://…`, not for ours. */
export function isUri(directory: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\//i.test(directory);
}

/** The place of a name below a directory at a URI, however many slashes that ends with. */
export function belowUri(uri: string, name: string): string {
  return `${uri.replace(/\/+$/, '')}/${name}`;
}
