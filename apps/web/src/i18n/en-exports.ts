/** Texts of downloads of backups. */
export const exports = {
  open: 'Download…',
  verb: 'Download backup',
  holds:
    'The data of {{time}} as one file of about {{size}}: the database as pg_dump writes it, volumes, and what was counted.',
  sealed:
    'It is encrypted with the passphrase below before it leaves the host. The passphrase is kept nowhere: whoever loses it, loses the file.',
  opens: 'It opens without us, with age and tar: {{command}}. A README in it says how to load the database.',
  without: 'The stack goes on. Its own passwords and keys are not in the file.',
  passphrase: 'Passphrase of the file',
  passphraseHint: 'Made here, in your browser; or type your own.',
  passphraseWrong: 'Use at least {{count}} printable characters.',
  copy: 'Copy the passphrase',
  another: 'Make another',
  kept: 'I have put the passphrase away',
  password: 'Password of your account',
  state: {
    asked: 'The download of the data of {{time}} is about to begin',
    sending: 'The data of {{time}} is being downloaded',
    sent: 'The data of {{time}} was sent',
    failed: 'The download of the data of {{time}} broke off',
  },
  body: {
    asked: 'Your browser may ask where to put it.',
    sending: 'Your browser shows how far {{file}} is. You can leave this page.',
    sent: '{{file}} was sent whole: {{bytes}} bytes. Check that your file has as many, then open it with: {{command}}',
  },
  again: 'Download again…',
  stop: 'Stop the download',
  stopFailed: 'It was not stopped',
  keepTitle: 'Download everything',
  keepNone: 'No backup of this stack counts yet. Back up now; once it is checked, it can be downloaded here.',
  keepNoneIdle: 'No backup of this stack counts yet.',
  keepWriting:
    'The newest backup that counts is of {{time}}, {{age}} old, and the stack goes on writing. What came since is not in it: back up now first.',
  keepRested: {
    stopped:
      'The newest backup that counts is of {{time}}, {{age}} before the stack was stopped. What came between is in none.',
    asleep:
      'The newest backup that counts is of {{time}}, {{age}} before the stack fell asleep. What came between is in none.',
    suspended:
      'The newest backup that counts is of {{time}}, {{age}} before the stack was suspended. What came between is in none.',
  },
  keepOlder: 'The newest backup that counts is of {{time}}. What came since is not in it: back up now first.',
  keepOlderIdle: 'The newest backup that counts is of {{time}}. What came since is not in it.',
  keepStart: 'Start it and back up now to have that too. Bots that ran go on then.',
  keepStartButton: 'Start it',
  keepWakeButton: 'Wake it up',
  keepStartFailed: 'It was not started',
  keepBusy: 'A backup is under way. Once it is checked, it can be downloaded here.',
  keepButton: 'Download the data of {{time}}…',
  destroyNone: 'Nothing of it is kept: no backup counts yet.',
  destroyWriting:
    'The newest backup is of {{time}}, {{age}} old; the stack goes on writing, and what came since is in none.',
  destroyRested: {
    stopped: 'The newest backup is of {{time}}, {{age}} before it was stopped; what came between is in none.',
    asleep: 'The newest backup is of {{time}}, {{age}} before it fell asleep; what came between is in none.',
    suspended: 'The newest backup is of {{time}}, {{age}} before it was suspended; what came between is in none.',
  },
  destroyOlder: 'The newest backup is of {{time}}; what came since is in none.',
  destroyLink: 'Download everything first',
};
