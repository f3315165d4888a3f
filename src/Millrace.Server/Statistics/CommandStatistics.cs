using System.Numerics;
using System.Runtime.InteropServices;
using Millrace.Server.Commands;

namespace Millrace.Server.Statistics;

/// <summary>
/// What the server counts of its commands, for INFO, LATENCY and SLOWLOG. Under the store's lock. To count costs an addition for each command;
/// the clock is read only for those that are measured.
/// </summary>
/// <remarks>
/// Reading the clock twice costs about as much as a PING. So in a deep pipeline only the first command of each turn is measured, and every one
/// that may take long: one whose time grows with what it works on, or that has many arguments. What a command takes in all is its calls times
/// the average of those that were measured.
/// </remarks>
internal sealed class CommandStatistics(CommandTable table)
{
    /// <summary>Up to so many requests of a turn are all measured: the turn itself costs far more than the clock.</summary>
    private const int ShallowRequests = 16;

    /// <summary>So many arguments make long work even of a command that is fast for each.</summary>
    private const int ManyArguments = 64;

    /// <summary>Who wants to see what takes less, in the slow log, has every command measured.</summary>
    private const long FineMicroseconds = 1000;

    /// <summary>Time that the operations per second are averaged over.</summary>
    private const long WindowMs = 1000;

    private readonly CommandCounter?[] _counters = new CommandCounter?[table.Count];
    private readonly Dictionary<string, long> _errors = new(StringComparer.Ordinal);

    /// <summary>The commands of this turn are all measured.</summary>
    private bool _measuresAll;

    /// <summary>The next command of this turn is measured in any case.</summary>
    private bool _measuresNext;

    /// <summary>
    /// What the measured commands of this turn have taken. Those that are not measured take next to nothing; what EXEC runs counts twice.
    /// </summary>
    public TimeSpan TurnTime { get; private set; }

    private long _windowStartMs;
    private long _windowStartCount;

    /// <summary>Commands run since the start or the last reset.</summary>
    public long Processed { get; private set; }

    /// <summary>Commands run per second in about the last second.</summary>
    public long PerSecond { get; private set; }

    /// <summary>Lookups of reading commands that found a key.</summary>
    public long Hits { get; private set; }

    /// <summary>Lookups of reading commands that did not.</summary>
    public long Misses { get; private set; }

    public long ErrorReplies { get; private set; }

    /// <summary>The errors replied, by code.</summary>
    public IReadOnlyDictionary<string, long> Errors => _errors;

    public SlowLog SlowLog { get; } = new();

    public LatencyEvents Latency { get; } = new();

    /// <summary>The counters of commands that were called or refused.</summary>
    public IEnumerable<(CommandInfo Command, CommandCounter Counter)> All => table.AllWithSubcommands
        .Where(command => _counters[command.Number] is not null)
        .Select(command => (command, _counters[command.Number]!));

    public CommandCounter Of(CommandInfo command) => _counters[command.Number] ??= new();

    /// <summary>A turn begins.</summary>
    public void BeginTurn(int requests, long nowMs)
    {
        _measuresNext = true;
        TurnTime = TimeSpan.Zero;
        _measuresAll = requests <= ShallowRequests || SlowLog.LeastMicroseconds is >= 0 and < FineMicroseconds;
        var elapsedMs = nowMs - _windowStartMs;
        if (elapsedMs < WindowMs)
            return;
        PerSecond = (Processed - _windowStartCount) * 1000 / elapsedMs;
        (_windowStartMs, _windowStartCount) = (nowMs, Processed);
    }

    /// <summary>Counts a command that is about to run.</summary>
    /// <returns>Whether its time is to be taken.</returns>
    public bool Count(in CommandCall call, CommandCounter counter)
    {
        Processed++;
        counter.Calls++;
        var isMeasured = _measuresAll || _measuresNext || !call.Command.Has(CommandFlags.Fast) || call.Count > ManyArguments;
        _measuresNext = false;
        return isMeasured;
    }

    /// <summary>Takes in how long a command took.</summary>
    public void Measure(in CommandCall call, CommandCounter counter, TimeSpan time)
    {
        TurnTime += time;
        counter.Measure(time);
        SlowLog.Add(call, time);
        Latency.Add(call.Command.Has(CommandFlags.Fast) ? "fast-command" : "command", time, call.NowMs);
    }

    public void CountLookup(bool isHit)
    {
        if (isHit)
            Hits++;
        else
            Misses++;
    }

    /// <summary>Counts an error reply by its code, the word before the first blank.</summary>
    public void CountError(string codeAndMessage)
    {
        ErrorReplies++;
        var end = codeAndMessage.IndexOf(' ', StringComparison.Ordinal);
        var codes = _errors.GetAlternateLookup<ReadOnlySpan<char>>();
        CollectionsMarshal.GetValueRefOrAddDefault(codes, codeAndMessage.AsSpan(0, end < 0 ? codeAndMessage.Length : end), out _)++;
    }

    /// <summary>CONFIG RESETSTAT.</summary>
    public void Reset()
    {
        Array.Clear(_counters);
        _errors.Clear();
        (Processed, Hits, Misses, ErrorReplies, _windowStartCount) = (0, 0, 0, 0, 0);
    }
}

/// <summary>What is counted of one command.</summary>
internal sealed class CommandCounter
{
    /// <summary>How many took 2^i microseconds at most, but more than half of that.</summary>
    private readonly long[] _histogram = new long[32];

    public long Calls { get; set; }

    /// <summary>Refused before they ran.</summary>
    public long Rejected { get; set; }

    /// <summary>Answered with an error.</summary>
    public long Failed { get; set; }

    /// <summary>Calls whose time was taken.</summary>
    public long Measured { get; private set; }

    public TimeSpan MeasuredTime { get; private set; }

    public double AverageMicroseconds => Measured == 0 ? 0 : MeasuredTime.TotalMicroseconds / Measured;

    /// <summary>Numbers of measured calls, each by the power of two microseconds that they took at most.</summary>
    public IEnumerable<(long Microseconds, long Count)> Histogram =>
        _histogram.Select(static (count, power) => (1L << power, count)).Where(static bucket => bucket.count > 0);

    public void Measure(TimeSpan time)
    {
        Measured++;
        MeasuredTime += time;
        var microseconds = (ulong)Math.Ceiling(time.TotalMicroseconds);
        var power = microseconds <= 1 ? 0 : BitOperations.Log2(microseconds - 1) + 1;
        _histogram[Math.Min(power, _histogram.Length - 1)]++;
    }

    /// <summary>The microseconds that a share of the measured calls did not take longer than, up to a power of two.</summary>
    public long Percentile(double share)
    {
        long below = 0;
        foreach (var (microseconds, count) in Histogram)
        {
            below += count;
            if (below >= Measured * share)
                return microseconds;
        }

        return 0;
    }
}
