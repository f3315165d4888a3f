// Writes to an embedded store as fast as it can until it is killed, and says on stdout what the store acknowledged, one line each:
//   open                      the store has recovered
//   append <key> <id>         an entry is in the shared stream
//   commit <key> <id> <id>    two entries and a state document are in a committer's own stream
//   ack <id>                  the group's reader is done with an entry
// Arguments: <data directory> <sync policy> <round>, or "descriptors" in place of the round (DescriptorLoad.cs).
using System.Globalization;
using System.Text;
using Millrace.CrashWriter;
using Millrace.Embedded;
using Millrace.Streams;

if (args[2] == DescriptorLoad.Argument)
{
    await DescriptorLoad.RunAsync(args[0], Enum.Parse<SyncPolicy>(args[1]));
    return 0;
}

var round = int.Parse(args[2], CultureInfo.InvariantCulture);
using var stdout = Console.OpenStandardOutput();
var stdoutLock = new Lock();

await using var store = new EmbeddedStreamStore(new EmbeddedStoreOptions { Directory = args[0], Sync = Enum.Parse<SyncPolicy>(args[1]) });
await store.OpenAsync();
await store.CreateGroupAsync(CrashLoad.SharedStream, CrashLoad.Group, GroupStart.Beginning);
Say("open");
try
{
    await await Task.WhenAny([
        .. Enumerable.Range(0, CrashLoad.Appenders).Select(writer => Task.Run(() => AppendAsync(writer))),
        .. Enumerable.Range(0, CrashLoad.Committers).Select(committer => Task.Run(() => CommitAsync(committer))),
        Task.Run(ReadAsync),
    ]);
}
catch (StreamException exception)
{
    Console.Error.WriteLine($"{exception.Code}: {exception.Message}");
    return 1;
}

return 0;

async Task AppendAsync(int writer)
{
    for (var index = 0; ; index++)
    {
        var key = CrashLoad.Key(round, writer, index);
        var id = await store.AppendAsync(CrashLoad.SharedStream, CrashLoad.Fields(key));
        Say($"append {key} {id}");
    }
}

async Task CommitAsync(int committer)
{
    var stream = CrashLoad.CommitStream(committer);
    for (var index = 0; ; index += 2)
    {
        var (first, second) = (CrashLoad.Key(round, committer, index), CrashLoad.Key(round, committer, index + 1));
        var result = await store.CommitAsync(new Commit
        {
            Changes =
            [
                new CommitChange.Append(stream, CrashLoad.Fields(first)),
                new CommitChange.Append(stream, CrashLoad.Fields(second)),
                new CommitChange.PutState(CrashLoad.LastCommit(committer), Encoding.UTF8.GetBytes(second)),
            ],
        });
        Say($"commit {second} {result.Ids[0]} {result.Ids[1]}");
    }
}

async Task ReadAsync()
{
    var read = new GroupRead
    {
        Group = CrashLoad.Group, Consumer = CrashLoad.Consumer, Streams = [CrashLoad.SharedStream], Count = 10, Block = TimeSpan.FromMinutes(1),
    };
    while (true)
    {
        foreach (var batch in await store.ReadGroupAsync(read))
        {
            foreach (var entry in batch.Entries)
            {
                await store.AckAsync(CrashLoad.SharedStream, CrashLoad.Group, [entry.Id]);
                Say($"ack {entry.Id}");
            }
        }
    }
}

// One write of less than a pipe's atomic size: the line is there whole before the next thing happens, or not at all.
void Say(string line)
{
    var bytes = Encoding.UTF8.GetBytes(line + "\n");
    lock (stdoutLock)
        stdout.Write(bytes);
}
