/** What a set of instances is called between a node and its control plane: "NAMESPACE/NAME@REVISION". */
export function setName(key: string, revision: string): string {
  return `${key}@${revision}`
}

export function readSetName(name: string): { key: string; revision: string } {
  const at = name.lastIndexOf('@')
  return { key: name.slice(0, at), revision: name.slice(at + 1) }
}
