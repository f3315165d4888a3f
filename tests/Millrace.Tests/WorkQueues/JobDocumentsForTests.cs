using Millrace.Streams;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>What a process that dies in the middle, or a note that is lost, leaves in the store.</summary>
internal static class JobDocumentsForTests
{
    public static CommitChange CancelRequest(JobReference job) =>
        new CommitChange.PutState(new(job.Queue, $"millrace/job-requests/{job.Id}"), """{"cancel":true,"children":[]}"""u8.ToArray());

    /// <summary>Whether a call reads jobs, and not what a process reads for itself.</summary>
    public static bool AreRead(string member, object?[] arguments) =>
        member == nameof(IStreamStore.GetStatesAsync) && ((IReadOnlyList<StateKey>)arguments[0]!)[0].Name.StartsWith("millrace/job/", StringComparison.Ordinal);
}
