/** The name of a Service's revision by its number, as Knative gives it. */
export function revisionName(service: string, generation: number): string {
  return `${service}-${String(generation).padStart(5, '0')}`
}
