import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

interface ReceivedMail {
  from: string
  to: string[]
  /** Header and body as they arrived, dots unstuffed. */
  data: string
}

/** As much of RFC 5321 as a client needs to hand over a mail. `answer` may refuse a command, or say nothing: undefined goes on. */
export async function startSmtpServer(answer: (command: string) => string | undefined = () => undefined) {
  const mails: ReceivedMail[] = []
  const commands: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
    let rest = ''
    let mail: ReceivedMail = { from: '', to: [], data: '' }
    let inData = false
    const say = (line: string) => socket.write(`${line}\r\n`)
    say('220 test ESMTP')

    function onCommand(line: string): void {
      commands.push(line)
      const refused = answer(line)
      if (refused !== undefined) {
        if (refused !== '') say(refused)
        return
      }
      const verb = line.slice(0, 4).toUpperCase()
      if (verb === 'EHLO') say('250-test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME')
      else if (verb === 'AUTH') say('235 welcome')
      else if (verb === 'MAIL') {
        mail = { from: /<(.*?)>/.exec(line)?.[1] ?? '', to: [], data: '' }
        say('250 ok')
      } else if (verb === 'RCPT') {
        mail.to.push(/<(.*?)>/.exec(line)?.[1] ?? '')
        say('250 ok')
      } else if (verb === 'DATA') {
        inData = true
        say('354 go on')
      } else if (verb === 'QUIT') {
        socket.end('221 bye\r\n')
      } else say('250 ok')
    }

    socket.setEncoding('utf8').on('data', (chunk: string) => {
      rest += chunk
      for (;;) {
        const end = rest.indexOf('\r\n')
        if (end < 0) return
        const line = rest.slice(0, end)
        rest = rest.slice(end + 2)
        if (!inData) onCommand(line)
        else if (line === '.') {
          inData = false
          mails.push(mail)
          say('250 taken')
        } else mail.data += `${line.replace(/^\./, '')}\r\n`
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    mails,
    commands,
    port: (server.address() as AddressInfo).port,
    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
