using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>What a handler knows of the job it runs. One per attempt; not for concurrent use, but for <see cref="Report"/>.</summary>
public sealed class JobContext
{
    private readonly JobRun _run;

    internal JobContext(Job job, JobRun run, MessageContext message) => (Job, _run, Message) = (job, run, message);

    /// <summary>The job.</summary>
    public Job Job { get; }

    /// <summary>
    /// The job as a message: where effects go that leave in the commit in which the job succeeds, see <see cref="MessageContext.Publish"/> and
    /// <see cref="MessageContext.State"/>. A job that fails or is cancelled has none.
    /// </summary>
    public MessageContext Message { get; }

    /// <summary>Which attempt this is, 1 for the first.</summary>
    public int Attempt => Message.Attempt;

    /// <summary>State documents that are written in the commit in which the job succeeds.</summary>
    public StateSession State => Message.State;

    /// <summary>
    /// Tells how far the job is. Written in the background, at most once each <see cref="JobQueueOptions.ProgressInterval"/>: call it as often as you like.
    /// </summary>
    /// <param name="percent">0 to 100, or <see langword="null"/>: not said.</param>
    /// <param name="text">What it does now, for people. Default: nothing.</param>
    public void Report(double? percent, string? text = null) => _run.Report(new(percent, text));
}
