using System.Net;
using System.Text;

namespace Millrace.Tests.Differential;

/// <summary>Scripts of many seeds on two servers; the first difference ends it, made small.</summary>
internal sealed class DifferentialRun : IDisposable
{
    private readonly Side _reference;
    private readonly Side _subject;
    private readonly ScriptRunner _runner;

    public DifferentialRun(Side reference, Side subject)
    {
        _reference = reference;
        _subject = subject;
        _runner = new(reference, subject);
    }

    public DifferentialRun(int reference, IPEndPoint subject)
        : this(new Side(new(IPAddress.Loopback, reference)), new Side(subject))
    {
    }

    /// <summary>Commands compared so far.</summary>
    public long Compared => _runner.Compared;

    /// <summary>Commands whose replies were compared so far, and errors among them.</summary>
    public IReadOnlyDictionary<string, (int All, int Errors)> Coverage => _runner.Coverage;

    /// <summary>RESP2 for even seeds, RESP3 for odd ones.</summary>
    public static int ProtocolOf(int seed) => seed % 2 == 0 ? 2 : 3;

    /// <summary>Runs the script of a seed; what is wrong as a report, or null.</summary>
    public string? Run(int seed, int commands)
    {
        var protocol = ProtocolOf(seed);
        var script = ScriptGenerator.Make(seed, commands);
        if (_runner.Run(script, protocol) is not { } failed)
            return null;

        var (small, difference) = Shrinker.Shrink(script, failed, candidate => _runner.Run(candidate, protocol));
        return Report(seed, protocol, small, difference);
    }

    /// <summary>What was compared, how often each command failed, and which version changes made a difference.</summary>
    public string Summary()
    {
        var text = new StringBuilder($"{_runner.Compared:N0} replies compared\n");
        foreach (var (name, (all, errors)) in _runner.Coverage.Where(entry => entry.Value.All > 20))
            text.Append($"  {name,-16} {all,9:N0}, errors {errors * 100 / all,3} %\n");
        foreach (var (change, uses) in _runner.Uses.OrderBy(use => use.Key.Name, StringComparer.Ordinal))
            text.Append($"  version change {change.Name}: {uses:N0}\n");
        return text.ToString();
    }

    public void Dispose()
    {
        _reference.Dispose();
        _subject.Dispose();
    }

    private string Report(int seed, int protocol, IReadOnlyList<Unit> script, Difference difference)
    {
        // Once more, for the replies of the reference along the way.
        _runner.Transcript = [];
        var certainty = _runner.Run(script, protocol) is null ? ", not every time" : "";
        var transcript = _runner.Transcript;
        var size = script.Sum(unit => unit.Commands.Count);
        _runner.Transcript = null;
        return $"""
            Seed {seed} (RESP{protocol}; repeat with MILLRACE_DIFF_SEED={seed}) differs, {size} commands after shrinking{certainty}:
            {string.Join('\n', transcript.Count > 60 ? transcript.TakeLast(60) : transcript)}
              {difference.Command}
                redis: {difference.Reference}
                ours:  {difference.Subject}
            """;
    }
}
