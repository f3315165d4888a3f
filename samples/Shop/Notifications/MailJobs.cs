using Millrace;
using Millrace.WorkQueues;
using Shop.Fakes;

namespace Shop.Notifications;

/// <summary>A mail to be sent: one job each.</summary>
/// <param name="About">The order or the user it is about.</param>
/// <param name="Kind">Which mail, see <see cref="MailKinds"/>.</param>
/// <param name="To">The address.</param>
[Message("mail.send")]
public sealed record SendMail(string About, string Kind, string To);

/// <summary>
/// Sends mails, a few at a time, however many orders end at once. The gateway is outside the store and recognises what a mail is about, so a job that
/// began twice sends one mail, and so does an order that ends once more because the store has forgotten that it had.
/// </summary>
public sealed class MailWorker(MailGateway gateway)
{
    public async Task SendAsync(SendMail mail, JobContext context, CancellationToken cancellationToken)
    {
        await gateway.SendAsync($"{mail.Kind}:{mail.About}", mail.About, mail.Kind, mail.To, cancellationToken);
        if (MailKinds.OrderEnds.Contains(mail.Kind))
        {
            context.Message.Publish(
                NotificationNames.Stream, new NotificationSent(mail.About, mail.Kind), new PublishOptions { Subject = mail.About });
        }
    }
}
