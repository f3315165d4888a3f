using System.Text;
using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>What a job queue keeps beside its stream, all in the stream's hash slot.</summary>
/// <remarks>
/// <code>
/// mails                                   the jobs that wait, as messages; the queue's stream
/// {mails}:jobs                            notes: a job ended, got on, or is to be cancelled
/// {mails}:state:millrace/job/ID           <see cref="JobRecord"/>; written by whoever begins, ends or cancels the job
/// {mails}:state:millrace/job-requests/ID  <see cref="JobRequests"/>; what others want of a job that may be running, so that they never touch its record
/// {mails}:state:millrace/job-entry/ID     the entry of a job that is blocked, in its packed form
/// {mails}:state:millrace/job-progress/ID  <see cref="JobProgress"/>
/// {mails}:state:millrace/job-key/KEY      the ID of the job that has a unique key
/// </code>
/// </remarks>
internal static class JobNames
{
    /// <summary>On the entry of a job that was enqueued: it has a record, or had one.</summary>
    public const string Header = "job";

    /// <summary>On the entry of a firing of a recurring job: its options, as a <see cref="JobRecord"/> that says nothing else.</summary>
    public const string OptionsHeader = "joboptions";

    public static ReadOnlySpan<byte> NoteKind => "kind"u8;

    public static ReadOnlySpan<byte> NoteJob => "job"u8;

    public static ReadOnlySpan<byte> Ended => "ended"u8;

    public static ReadOnlySpan<byte> GotOn => "progress"u8;

    public static ReadOnlySpan<byte> Cancel => "cancel"u8;

    public static string Notes(string queue) => StreamNames.Derive(queue, "jobs");

    public static StateKey Record(JobReference job) => new(job.Queue, $"millrace/job/{job.Id}");

    public static StateKey Requests(JobReference job) => new(job.Queue, $"millrace/job-requests/{job.Id}");

    public static StateKey Entry(JobReference job) => new(job.Queue, $"millrace/job-entry/{job.Id}");

    public static StateKey Progress(JobReference job) => new(job.Queue, $"millrace/job-progress/{job.Id}");

    public static StateKey Unique(string queue, string key) => new(queue, $"millrace/job-key/{key}");

    /// <summary>A note on a job, for whoever follows the queue's.</summary>
    public static CommitChange Note(JobReference job, ReadOnlySpan<byte> kind)
    {
        var writer = new EntryFieldsWriter();
        writer.Add(NoteKind, kind);
        writer.Add(NoteJob, Encoding.UTF8.GetBytes(job.Id));
        return new CommitChange.Append(Notes(job.Queue), writer.ToFields());
    }
}
