/** The command was given something that it does not take. */
export class WrongUse extends Error {
  override readonly name = 'WrongUse'
}
