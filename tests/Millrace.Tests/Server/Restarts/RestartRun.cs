using System.Globalization;
using System.Net;
using System.Text;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Records;
using Millrace.Streams.Names;
using Millrace.Tests.Differential;
using Millrace.Tests.Embedded;

namespace Millrace.Tests.Server.Restarts;

/// <summary>
/// A script on a server with a journal: a store that is opened on the journal afterwards holds the same, byte for byte, and so does one that is
/// opened on what the journal was in the middle. One whose journal ends within a record opens, too.
/// </summary>
internal sealed class RestartRun : IDisposable
{
    private static readonly string Segment = JournalFiles.SegmentName(1);

    private readonly int _seed;
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-restart-").FullName;
    private readonly ManualTime _time = new();
    private readonly bool[] _isWaiting = new bool[Side.Blockers];
    private string _dumped = "";

    private RestartRun(int seed) => _seed = seed;

    private string Whole => Path.Combine(_directory, "whole");
    private string Middle => Path.Combine(_directory, "middle");
    private string Torn => Path.Combine(_directory, "torn");

    /// <summary>Runs a script; the first difference, or what fails, or null.</summary>
    public static Difference? Run(IReadOnlyList<Unit> script, int seed)
    {
        if (script.Count == 0)
            return null;
        using var run = new RestartRun(seed);
        try
        {
            return Task.Run(() => run.RunAsync(script)).GetAwaiter().GetResult();
        }
        catch (Exception exception)
        {
            return new(script.Count - 1, script[^1].Commands[^1], "no error", exception.ToString());
        }
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private async Task<Difference?> RunAsync(IReadOnlyList<Unit> script)
    {
        string end;
        await using (var server = await TestServer.StartAsync(time: _time, directory: Whole))
        {
            using var side = new Side(new(IPAddress.Loopback, server.Port));
            side.Reset(protocol: 2);
            for (var i = 0; i < script.Count; i++)
            {
                if (i == script.Count / 2 && await CrashAsync(script, server.Store) is { } difference)
                    return difference;
                try
                {
                    Play(script[i], side, server.Store);
                }
                catch (NoReplyException exception)
                {
                    return new(i, script[i].Commands[^1], "a reply", exception.Message);
                }
            }

            end = Dump(server.Store);
        }

        return Compare(script, end, await OpenAsync(Whole));
    }

    /// <summary>What is in the file when a reply has come survives a crash of the process. Of what comes after it, any part may be there.</summary>
    private async Task<Difference?> CrashAsync(IReadOnlyList<Unit> script, EmbeddedStreamStore store)
    {
        var dump = Dump(store);
        foreach (var directory in (string[])[Middle, Torn])
        {
            Directory.CreateDirectory(directory);
            File.Copy(Path.Combine(Whole, Segment), Path.Combine(directory, Segment));
        }

        using (var torn = File.OpenWrite(Path.Combine(Torn, Segment)))
            torn.SetLength(new Random(_seed).NextInt64(JournalFormat.FileHeaderBytes, torn.Length + 1));
        await OpenAsync(Torn);
        return Compare(script, dump, await OpenAsync(Middle));
    }

    private async Task<string> OpenAsync(string directory)
    {
        await using var store = new EmbeddedStreamStore(new() { Directory = directory }, _time);
        await store.OpenAsync();
        return Dump(store);
    }

    private static Difference? Compare(IReadOnlyList<Unit> script, string before, string after)
    {
        var (left, right) = (before.Split('\n'), after.Split('\n'));
        var at = 0;
        while (at < left.Length && at < right.Length && left[at] == right[at])
            at++;
        return at == left.Length && at == right.Length
            ? null
            : new(script.Count - 1, script[^1].Commands[^1], left.ElementAtOrDefault(at) ?? "", right.ElementAtOrDefault(at) ?? "");
    }

    /// <summary>
    /// Everything a store holds: a line for each key, with its value as DUMP gives it, so that also the blocks of a stream are the same, which
    /// decide what approximate trims take. Left out: when consumers were last seen, which is not journaled for reads that bring nothing.
    /// </summary>
    private static string Dump(EmbeddedStreamStore store)
    {
        var text = new StringBuilder();
        store.BeginTurn();
        try
        {
            var engine = store.EngineNeedsLock;
            engine.Verify();
            var options = engine.Options;
            text.Append(CultureInfo.InvariantCulture, $"{options.StreamNodeMaxEntries} {options.StreamIdmpDurationSeconds} {options.StreamIdmpMaxSize}\n");
            for (var database = 0; database < StreamEngine.DatabaseCount; database++)
            {
                foreach (var value in engine.Databases[database].Values.OrderBy(static value => value.Slot))
                {
                    foreach (var consumer in ((value as StreamValue)?.Groups ?? []).SelectMany(static group => group.Consumers))
                        consumer.SeenMs = 0;
                    var key = Convert.ToHexString(KeyText.Encode(value.Key));
                    var record = Convert.ToHexString(ValueRecord.Write(value, Array.MaxLength).Span);
                    text.Append(CultureInfo.InvariantCulture, $"{database} {value.Slot} {key} expires {value.ExpiresMs}: {record}\n");
                }
            }
        }
        finally
        {
            store.ExitTurn();
        }

        return text.ToString();
    }

    private void Play(Unit unit, Side side, EmbeddedStreamStore store)
    {
        if (unit.Kind != UnitKind.Main)
        {
            // What waits is not waited for, so that there are never two requests on their way.
            if (_isWaiting[unit.Blocker])
                End(unit.Blocker, side);
            if (unit.Kind == UnitKind.Block)
                Block(unit, side);
            return;
        }

        foreach (var command in unit.Commands)
            Play(command, side.Main, store);
        for (var blocker = 0; blocker < Side.Blockers; blocker++)
        {
            if (_isWaiting[blocker] && !side.IsBlocked(blocker))
                Read(blocker, side);
        }
    }

    private void Play(Command command, RawConnection connection, EmbeddedStreamStore store)
    {
        switch (command.Name)
        {
            case RestartScript.Clock:
                _time.Move(TimeSpan.FromMilliseconds(int.Parse(command.Arguments[1], CultureInfo.InvariantCulture)));
                return;
            case RestartScript.Schedule:
                var delay = TimeSpan.FromMilliseconds(int.Parse(command.Arguments[2], CultureInfo.InvariantCulture));
                var change = new CommitChange.Schedule(command.Arguments[1], EntryFields.Create(("f", "v")), delay);
                store.CommitAsync([new() { Changes = [change] }]).AsTask().GetAwaiter().GetResult();
                return;
            case "RESTORE" when command.Arguments.Contains(RestartScript.Dumped):
                command = new([.. command.Arguments.Select(argument => argument == RestartScript.Dumped ? _dumped : argument)]);
                break;
        }

        connection.Send(command);
        var reply = RespNode.Parse(connection.Read());
        if (command.Name == "DUMP")
            _dumped = reply.Text;
    }

    private void Block(Unit unit, Side side)
    {
        foreach (var command in unit.Commands)
        {
            if (_isWaiting[unit.Blocker])
                End(unit.Blocker, side);
            side.Blocker(unit.Blocker).Send(command);
            _isWaiting[unit.Blocker] = true;
            if (!side.IsBlocked(unit.Blocker))
                Read(unit.Blocker, side);
        }
    }

    private void End(int blocker, Side side)
    {
        side.Unblock(blocker, "TIMEOUT");
        Read(blocker, side);
    }

    private void Read(int blocker, Side side)
    {
        side.Blocker(blocker).Read();
        _isWaiting[blocker] = false;
    }
}
