// Names and labels by Kubernetes' rules: RFC 1123 labels and subdomains, qualified names, label values. Each check
// answers with what is wrong, or null.

/** A DNS label: names of namespaces, functions, containers. */
export function checkDnsLabel(value: string): string | null {
  if (value.length <= 63 && DNS_LABEL.test(value)) return null
  return `${quote(value)} is not a DNS label: use at most 63 characters a-z, 0-9 and "-", beginning and ending with a letter or digit`
}

/** A DNS subdomain: names of all other resources, and domains. */
export function checkDnsSubdomain(value: string): string | null {
  if (value.length <= 253 && value.split('.').every((label) => label.length <= 63 && DNS_LABEL.test(label)))
    return null
  return `${quote(value)} is not a DNS name: use at most 253 characters a-z, 0-9, "-" and ".", each part beginning and ending with a letter or digit`
}

/** The key of a label or annotation: `name` or `domain/name`. */
export function checkQualifiedName(value: string): string | null {
  const parts = value.split('/')
  const [name, prefix] = parts.length === 2 ? [parts[1]!, parts[0]!] : [value, null]
  const nameFits = name.length <= 63 && QUALIFIED.test(name)
  if (nameFits && (prefix === null || checkDnsSubdomain(prefix) === null)) return null
  return `${quote(value)} is not a valid key: write NAME or DOMAIN/NAME, NAME of at most 63 characters a-z, A-Z, 0-9, "-", "_" and "."`
}

export function checkLabelValue(value: string): string | null {
  if (value === '' || (value.length <= 63 && QUALIFIED.test(value))) return null
  return `${quote(value)} is not a label value: use at most 63 characters a-z, A-Z, 0-9, "-", "_" and ".", beginning and ending with a letter or digit`
}

/** The name of an environment variable. */
export function checkVariableName(value: string): string | null {
  if (value.length <= 253 && VARIABLE.test(value)) return null
  return `${quote(value)} is not a variable name: use letters, digits, "_", "-" and ".", not beginning with a digit`
}

/** The name of an HTTP field (a token of RFC 9110 5.6.2). */
export function checkFieldName(value: string): string | null {
  return TOKEN.test(value) ? null : `${quote(value)} is not a header name`
}

export function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value)
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const QUALIFIED = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/
const VARIABLE = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
