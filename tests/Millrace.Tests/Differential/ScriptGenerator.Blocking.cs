namespace Millrace.Tests.Differential;

// Reads that wait on a connection of their own while the main one goes on.
internal sealed partial class ScriptGenerator
{
    private void AddBlockedReads()
    {
        if (_mayBlock)
            return;

        var blockers = 1 + _pick.Number(Side.Blockers);
        for (var blocker = 0; blocker < blockers; blocker++)
            AddBlockedRead(blocker);

        _mayBlock = true;
        for (var left = 1 + _pick.Number(12); left > 0; left--)
        {
            if (_pick.Chance(4))
                AddTransaction();
            else if (_pick.Chance(4))
                AddDatabaseCommand();
            else
                AddSimple();
            if (_pick.Chance(30))
                _pipelineLeft = 0;
        }

        for (var blocker = 0; blocker < blockers; blocker++)
        {
            Command unblock = new("CLIENT", "UNBLOCK", _pick.Chance(70) ? "TIMEOUT" : "ERROR");
            Add(new Unit(UnitKind.Unblock, [unblock]) { Blocker = blocker });
        }

        _mayBlock = _waitsForSeveral = false;
    }

    private void AddBlockedRead(int blocker)
    {
        List<Command> commands = [new("SELECT", $"{_database}")];
        switch (_pick.Number(10))
        {
            case < 5:
                var (group, consumer, keys, arguments) = GroupRead(["BLOCK", "0"], mayWait: true);
                commands.AddRange(keys.Select(key => new Command("XGROUP", "CREATECONSUMER", key, group, consumer)));
                commands.Add(new([.. arguments]));
                break;
            case < 9:
                List<string> words = [_pick.Word("XREAD"), "BLOCK", "0"];
                if (_pick.Chance(40))
                    words.AddRange(["COUNT", _pick.Count()]);
                words.AddRange(StreamsAndIds(() => _pick.Chance(60) ? "$" : NoPlus(_pick.IdOrBad(3)), mayWait: true));
                commands.Add(new([.. words]));
                break;
            default:
                commands.Add(new(_pick.Word(_pick.One("BLPOP", "BRPOP")), "l", _pick.Chance(90) ? "0" : _pick.One("-1", "abc", "1e400")));
                break;
        }

        var read = commands[^1].Arguments;
        var streamsAt = Array.FindIndex(read, word => word.Equals("STREAMS", StringComparison.OrdinalIgnoreCase));
        _waitsForSeveral |= streamsAt >= 0 && read.Length > streamsAt + 3;
        Add(new Unit(UnitKind.Block, commands) { Blocker = blocker });
    }
}
