import { z } from 'zod'
import { ignored, mapping, word } from './fields.ts'
import type { Source } from './manifest-error.ts'
import type { Metadata } from './metadata.ts'

/** A resource of one kind, checked, with its defaults filled in, and where it was written. */
export type Manifest<ApiVersion extends string, Kind extends string, Spec> = {
  apiVersion: ApiVersion
  kind: Kind
  metadata: Metadata
  spec: Spec
  source: Source
}

/** The schema of a document of one kind. `status`, which Kubernetes prints, means nothing here. */
export function manifest<
  const ApiVersion extends string,
  const Kind extends string,
  Meta extends z.ZodType<Metadata>,
  Spec extends z.ZodType,
>(apiVersions: readonly ApiVersion[], kind: Kind, metadata: Meta, spec: Spec) {
  return mapping({ apiVersion: word(apiVersions), kind: z.literal(kind), metadata, spec, status: ignored() })
}
