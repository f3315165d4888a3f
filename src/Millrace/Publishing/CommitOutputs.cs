using Millrace.Streams;

namespace Millrace;

/// <summary>
/// What leaves in a commit, in the order it was given, and which of it was published. Streams of what was only enlisted may be as many as there are
/// aggregates: no metric names them.
/// </summary>
internal sealed class CommitOutputs : List<CommitChange>
{
    // In order as well.
    private List<CommitChange>? _enlisted;
    private int _leaving;

    public void Enlist(CommitChange change)
    {
        Add(change);
        (_enlisted ??= []).Add(change);
    }

    /// <summary>Adds all there is to the changes of a commit. What comes later does not leave with it.</summary>
    public void AddTo(List<CommitChange> changes)
    {
        changes.AddRange(this);
        _leaving = Count;
    }

    /// <summary>The messages among what was added to a commit.</summary>
    public IEnumerable<CommitChange> Published()
    {
        var passed = 0;
        for (var i = 0; i < _leaving; i++)
        {
            if (passed < _enlisted?.Count && ReferenceEquals(this[i], _enlisted[passed]))
                passed++;
            else
                yield return this[i];
        }
    }
}
