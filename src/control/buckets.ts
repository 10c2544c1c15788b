/** More members than these are kept as a set. */
const FEW = 8

/** Members by the names of buckets. Most buckets have one member, and there are as many as functions: that one takes no list. */
export class Buckets<Member extends object | string> {
  readonly #members = new Map<string, Member | Member[] | Set<Member>>()

  get(bucket: string): readonly Member[] {
    const found = this.#members.get(bucket)
    if (found === undefined) return []
    if (found instanceof Set) return [...found]
    return Array.isArray(found) ? found : [found]
  }

  add(bucket: string, member: Member): void {
    const found = this.#members.get(bucket)
    if (found instanceof Set) found.add(member)
    else if (found === undefined) this.#members.set(bucket, member)
    else {
      const members = [...this.get(bucket), member]
      this.#members.set(bucket, members.length > FEW ? new Set(members) : members)
    }
  }

  remove(bucket: string, member: Member): void {
    const found = this.#members.get(bucket)
    if (found instanceof Set) {
      found.delete(member)
      if (found.size === 0) this.#members.delete(bucket)
      return
    }
    const left = this.get(bucket).filter((one) => one !== member)
    if (left.length === 0) this.#members.delete(bucket)
    else this.#members.set(bucket, left)
  }
}
