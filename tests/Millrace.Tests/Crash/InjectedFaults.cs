namespace Millrace.Tests.Crash;

/// <summary>
/// System calls of a process that fail, by means of <c>strace</c>: the calls of a kind are counted by thread, and some of them are not made but
/// answered with an error.
/// </summary>
internal sealed class InjectedFaults : IDisposable
{
    private readonly string _log = Path.GetTempFileName();

    /// <param name="calls">Names of system calls, with commas between.</param>
    /// <param name="error">The name of the error.</param>
    /// <param name="when">Which calls of a thread: <c>5</c>, <c>5+</c> for all from the fifth on, <c>5..9</c>.</param>
    public InjectedFaults(string calls, string error, string when) => Wrapper =
    [
        // The tracer detaches itself, so that the process started is the server, and the filter leaves all other calls at full speed.
        "strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", _log, "-e", $"trace={calls}", "-e", "signal=none",
        "-e", $"inject={calls}:error={error}:when={when}",
    ];

    /// <summary>What to put in front of the command.</summary>
    public string[] Wrapper { get; }

    /// <summary>How many calls failed so far.</summary>
    public int Count()
    {
        using var file = new FileStream(_log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(file);
        return reader.ReadToEnd().Split("(INJECTED)").Length - 1;
    }

    public void Dispose() => File.Delete(_log);
}
