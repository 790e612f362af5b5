import { type TSchema, Type } from 'typebox'

/** The answers of a route: its own and the errors it can give. */
export function llmringAnswers(own: Record<number, TSchema>, ...errors: number[]) {
  return { ...own, ...Object.fromEntries(errors.map((status) => [status, DetailBody])) }
}

const IssueBody = Type.Object({
  type: Type.String(),
  loc: Type.Array(Type.Union([Type.String(), Type.Integer()])),
  msg: Type.String(),
  input: Type.Unknown(),
})

const DetailBody = Type.Object(
  {
    detail: Type.Union([Type.String(), Type.Array(IssueBody)], {
      description: 'What is wrong, for people; with status 422 a list of it.',
    }),
    code: Type.String({ description: 'One of docs/errors.md.' }),
  },
  { description: 'An error as llmring’s clients read it.' },
)
