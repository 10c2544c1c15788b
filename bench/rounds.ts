/** Measures every subject once a round, in turns, so that a slow minute of the machine meets all of them alike. */
export async function interleaved<S, M>(
  rounds: number,
  subjects: readonly S[],
  measure: (subject: S, round: number) => Promise<M> | M,
): Promise<Map<S, M[]>> {
  const results = new Map<S, M[]>(subjects.map((subject) => [subject, []]))
  for (let round = 0; round < rounds; round++) {
    // Every second round runs backwards: a drift inside a round then favours neither end of the list.
    const order = round % 2 === 0 ? subjects : subjects.toReversed()
    for (const subject of order) results.get(subject)!.push(await measure(subject, round))
  }
  return results
}
