/** What a selector looks at: a function's namespace and labels. */
export interface Selectable {
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
}

/** Whether all labels of a selector are the function's; a selector without labels takes every function. */
export function selects(labels: Readonly<Record<string, string>> | undefined, fn: Selectable): boolean {
  return Object.entries(labels ?? {}).every(
    ([name, value]) => Object.hasOwn(fn.labels, name) && fn.labels[name] === value,
  )
}

/** Whether a policy applies: its namespace is the function's or the root namespace, and it selects the function. */
export function applies(
  policyNamespace: string,
  labels: Readonly<Record<string, string>> | undefined,
  fn: Selectable,
  rootNamespace: string,
): boolean {
  return (policyNamespace === fn.namespace || policyNamespace === rootNamespace) && selects(labels, fn)
}
